#!/bin/sh
# The smallest computation: says hello, and leaves one file as its result.
echo "Hello, ${1:-world}, from launch $CHRONOVISOR_LAUNCH of $CHRONOVISOR_VM_ID."
uname -srm >"$CHRONOVISOR_RESULTS/system.txt"
echo "1 done" >"$CHRONOVISOR_PROGRESS"

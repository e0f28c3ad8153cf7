"""What the APIs cost: submits and events, against the libraries that they stand on, used barely.

words        what is said between the processes of the bench
child        a process of its own: whoever shares an interpreter lock with a server slows it
caller       gRPC: calls, and takes streams; its messages are bytes that were made beforehand
echo         bare grpclib: answers with what it got, streams what it was given
frames       WebSocket frames, read with next to no work
readers      WebSocket subscribers, as many as there may be in one process
broadcast    bare trio-websocket: every frame to every subscriber
feed         our event log and its WebSocket API, without VMs
submitting, subscribing    who is measured against whom
contest      every measure in turns, round after round
figures      medians, ratios, goals; a table for people
"""

"""What all VMs of a simulation may have together: so little that they wait for each other."""

from supervisor.config import Capacity, PortRange

CAPACITY = Capacity(
    max_running=2, max_vms=5, max_vms_per_principal=4, forward_ports=PortRange(8000, 8001)
)

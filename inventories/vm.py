"""A VM guest whose notebooks are in a directory of its hypervisor (see docs/vm.md).

Change the address; the settings of all guests are in ``group_data/guests.py``.
"""

guests = [
    (
        "guest1.example.org",
        {
            "ssh_user": "root",
            # Keys of hosts are checked against this file: take it from the guest's console or image.
            "ssh_known_hosts_file": "~/.ssh/known_hosts",
        },
    ),
]

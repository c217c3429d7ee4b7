"""Settings of the guests of `inventories/vm.py`; docs/settings.md has all there are."""

jupyter_scope = "system"

# The share that the hypervisor offers under this tag is mounted as the workspace, at every boot before the server.
jupyter_workspace_mount = "virtiofs"
jupyter_workspace_tag = "workspace"

# Names by which MCP clients address the guest, when it does not know them itself.
# jupyter_allowed_hosts = ["notebooks.example.org"]

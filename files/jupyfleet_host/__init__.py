"""What jupyfleet runs on a host: small scripts for the host's own Python, standard library only.

A script is a module with ``main(spec) -> result``; both sides are plain JSON objects. Nothing here is installed on
the host: `deploy.facts.hostscript` sends the module through the standard input of ``python3 -``, so a value never
appears on a command line, and verify needs nothing of ours to be there already.
"""

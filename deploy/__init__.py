"""jupyfleet: one idempotent deploy that makes hosts collaborative JupyterLab servers, and a verify that proves each."""

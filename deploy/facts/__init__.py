"""What is read from a host: pyinfra facts only, which never change anything."""

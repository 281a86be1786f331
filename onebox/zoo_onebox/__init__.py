"""A whole Zoo on one machine: the parts as data, a process manager, and the commands `zoo up`, `down` and `status`."""

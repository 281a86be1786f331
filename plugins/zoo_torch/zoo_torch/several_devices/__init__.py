"""One operation on several devices: torch's elastic launcher starts a process for each, the first of them reports.

- :mod:`order`     what the processes are told, and what they say back: JSON files, nothing pickled
- :mod:`starting`  the operation's own process: starts the launcher, passes reports on, ends everything
- :mod:`launcher`  the launcher's process
- :mod:`member`    the process of one device
"""

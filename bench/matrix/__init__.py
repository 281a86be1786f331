"""Every source file to every target: what a file is, where the conversion graph leads, and what comes out there."""

"""The pure stages of a recommendation, in order of travel: no framework, no I/O."""

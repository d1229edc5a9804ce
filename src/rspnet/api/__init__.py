"""From options to trained networks: what the commands, the studies and Python programs call alike."""

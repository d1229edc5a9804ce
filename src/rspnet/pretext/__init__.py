"""The pretext tasks: RSP and A-VID, and the baselines; and opening weights, those of other programs, too."""

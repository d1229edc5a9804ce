"""The pretext tasks: RSP and A-VID with momentum encoder and queue."""

"""What goes wrong by itself or by accident: crashes, restarts, full disks, damaged files, slow and silent clients."""

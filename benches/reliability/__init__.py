"""What survives: processes killed at random moments, disks that are full, files that are damaged, several processes at once. Counted."""

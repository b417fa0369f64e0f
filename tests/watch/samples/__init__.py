"""What real tools print, shortened; names and paths changed, shapes not."""

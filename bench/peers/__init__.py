"""brummerbus beside queues, pools and packages."""

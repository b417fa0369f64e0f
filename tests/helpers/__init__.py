"""What the tests share, apart from fixtures."""

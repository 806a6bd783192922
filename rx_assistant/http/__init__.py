"""HTTP without Rx: requests as values, sessions that send them, and the open bodies of event streams."""

"""The code interpreter: Python code of assistants runs in processes that cannot harm the server."""

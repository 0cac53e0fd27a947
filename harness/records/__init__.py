"""What is kept of a run: records, the results folder, their verification, submissions."""

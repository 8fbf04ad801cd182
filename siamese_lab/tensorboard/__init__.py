"""What is written for TensorBoard, and its server."""

"""The embedded model server: the gRPC and REST calls of TensorFlow Serving, answered by TensorFlow in this process."""

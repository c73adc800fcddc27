"""What is said to a model server and by one: TF Serving's messages and those of its config files.

The package `tensorflow-serving-api` publishes most of them, and imports TensorFlow for it, which
takes seconds and 600 MB; the config files' messages are in no package. These are compatible with
the originals on the wire and as text. Their field numbers are those of TF Serving's `apis` and
`config` folders, of TensorFlow's `tensor.proto` and of `grpc.health.v1`: every `.proto` file here
names its sources. A field that neither the client nor the devserver sends or reads is left out;
protobuf keeps what it finds there. The protobuf package `tfserving` keeps them apart from the
published ones in the same process.

The `.proto` files are the source, and `make protos` writes the modules from them. Nothing here
imports anything but `google.protobuf`.
"""

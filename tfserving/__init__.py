"""TF Serving's protobuf messages: requests, responses, warm-up records and config files.

The package `tensorflow-serving-api` has most of them, but imports TensorFlow, which takes seconds
and 600 MB; the config files' messages are in no package. These are compatible with the published
ones on the wire and in text format. Their field numbers are those of TF Serving's `apis` and
`config` folders, of TensorFlow's `tensor.proto` and of `grpc.health.v1`: every `.proto` file here
names its sources. Fields that neither the client nor the devserver uses are left out; protobuf
keeps them as unknown fields. The protobuf package is `tfserving`, so that these messages do not
clash with the published ones in the same process.

The `.proto` files are the source; `make protos` generates the modules. They import only
`google.protobuf`.
"""

from tfserving import model_metadata_pb2 as _model_metadata_pb2
from tfserving import model_status_pb2 as _model_status_pb2
from tfserving import predict_pb2 as _predict_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

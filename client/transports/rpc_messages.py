"""The messages of TF Serving's Predict and GetModelStatus, wire compatible with the published ones.

The package `tensorflow-serving-api` has them too, and imports all of TensorFlow for them. Field
numbers are those of TF Serving's `apis` folder and of TensorFlow's `tensor.proto`; fields that
this client neither sends nor reads are left out. A map is a repeated message of key and value on
the wire, and is declared as such here. A descriptor pool of its own keeps them apart from the
published ones in the same process.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "client"
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
}

_MESSAGES = {
    "ModelSpec": "string name = 1, string signature_name = 3",
    "Dim": "int64 size = 1",
    "Shape": "repeated Dim dim = 2",
    "Tensor": (
        "int32 dtype = 1, Shape tensor_shape = 2, bytes tensor_content = 4, "
        "repeated float float_val = 5, repeated int32 int_val = 7, repeated bytes string_val = 8, "
        "repeated int64 int64_val = 10, repeated bool bool_val = 11"
    ),
    "NamedTensor": "string key = 1, Tensor value = 2",
    "PredictRequest": "ModelSpec model_spec = 1, repeated NamedTensor inputs = 2",
    "PredictResponse": "repeated NamedTensor outputs = 1",
    "GetModelStatusRequest": "ModelSpec model_spec = 1",
    "Status": "int32 error_code = 1, string error_message = 2",
    "ModelVersionStatus": "int64 version = 1, int32 state = 2, Status status = 3",
    "GetModelStatusResponse": "repeated ModelVersionStatus model_version_status = 1",
}


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split(", "):
            *label, kind, field_name, _, number = text.split()
            field = message.field.add(name=field_name, number=int(number))
            field.label = _Field.LABEL_REPEATED if label else _Field.LABEL_OPTIONAL
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = _Field.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _message_classes()
PredictRequest: Any = _CLASSES["PredictRequest"]
PredictResponse: Any = _CLASSES["PredictResponse"]
GetModelStatusRequest: Any = _CLASSES["GetModelStatusRequest"]
GetModelStatusResponse: Any = _CLASSES["GetModelStatusResponse"]

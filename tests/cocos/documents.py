"""The two documents that show how the Cocos manager's computations look, as they were published."""

import json

LATER = (
    b'{"id":"123","name":"Sample Computation","description":"A sample computation",'
    b'"status":"Processing","owner":"John Doe","start_time":"2023-11-03T12:03:21.705171284+03:00",'
    b'"end_time":"2023-11-03T13:03:21.705171532+03:00","datasets":[{"provider":"Provider1",'
    b'"id":"Dataset1"},{"provider":"Provider2","id":"Dataset2"}],"algorithms":[{"provider":'
    b'"AlgorithmProvider1","id":"Algorithm1"}],"result_consumers":["Consumer1","Consumer2"],'
    b'"ttl":3600,"metadata":{"key1":"value1","key2":42},"timeout":"3m0s"}'
)

EARLIER = (
    b'{"id":"00acfe9d-5e1b-4aec-82c0-80ab8ed5ec0b","name":"Machine Diagnostics Analysis",'
    b'"description":"Finds worn bearings","status":"executable","owner":"",'
    b'"start_time":"0001-01-01T00:00:00Z","end_time":"0001-01-01T00:00:00Z",'
    b'"datasets":["Sensor Data Logs","Machine Health Records"],"algorithms":["Support Vector '
    b'Machines"],"dataset_providers":["SensorTech Solutions","Machinery Data Systems"],'
    b'"algorithm_providers":["AlgoAI Research Labs"],"result_consumers":["Predictive Analytics '
    b'Team"],"ttl":48,"metadata":{}}'
)


def as_byte_values(document: bytes) -> bytes:
    return json.dumps({"computation": list(document)}).encode()

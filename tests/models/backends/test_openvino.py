from throughline.testing.backends import BackendConformance


class TestOpenVinoOnOnnx(BackendConformance):
    backend = "openvino"

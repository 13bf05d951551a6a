from throughline.testing.backends import BackendConformance


class TestOnnxRuntime(BackendConformance):
    backend = "onnxruntime"

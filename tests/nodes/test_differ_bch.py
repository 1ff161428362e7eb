from tests.nodes.judged import Judged


class TestDiffer(Judged):
    software = "bcash"

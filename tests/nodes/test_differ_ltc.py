from tests.nodes.differ import Court
from tests.nodes.judged import Judged


class TestDiffer(Judged):
    software = "litecoind"

    def compare_coins(self, court: Court) -> None:
        """All of them, whoever owns them."""
        coins = court.ours._view.coins.values()
        found = court.judge.rpc.call("gettxoutsetinfo")
        assert found["txouts"] == len(coins)
        assert round(found["total_amount"] * 100_000_000) == sum(coin.amount for coin in coins)

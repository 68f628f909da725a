"""What the service says no to: a status, a word for the metrics, and a sentence for whoever asked."""


class RefusedError(Exception):
    """A request that is not served.

    Args:
        status: Of HTTP.
        reason: One word, counted in the metrics.
        sentence: For people.
        retry_after: Seconds after which it may be served; None where it never will.
    """

    def __init__(self, status: int, reason: str, sentence: str, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.status, self.reason, self.sentence = status, reason, sentence
        self.headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}

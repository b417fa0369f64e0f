"""A service that prints what services print; some of them have trouble. For `make picture`."""

import logging
import sys
import time

LOGGER = logging.getLogger()
PRICES = {"apple": 30, "bread": 250}


def price(item: str) -> int:
    """Fail for what the shop does not sell."""
    return PRICES[item]


def work(name: str, number: int) -> None:
    """Do a piece of work, which may fail."""
    if name == "orders" and number % 8 == 3:
        try:
            price("tea")
        except KeyError:
            LOGGER.exception("order %d cannot be priced", 4100 + number)
            return
    if name == "billing" and number % 9 == 5:
        LOGGER.error("db:5432 refused the connection, try %d", number // 9 + 1)
        return
    if name == "mailer" and number == 6:
        sys.exit("mailer: port 2525 is in use")
    said = {
        "web": f"GET /basket/{number} 200 {3 + number % 7} ms",
        "api": f"POST /orders 201 {12 + number % 5} ms",
        "orders": f"order {4100 + number} accepted",
        "billing": f"invoice {900 + number} sent",
        "mailer": f"mail {number} delivered",
        "search": f"indexed {number * 20} products",
    }
    LOGGER.info(said[name])


def main() -> None:
    """Work until stopped."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    number = 0
    while True:
        number += 1
        work(sys.argv[1], number)
        time.sleep(0.25)


if __name__ == "__main__":
    main()

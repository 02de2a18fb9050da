"""A worker to try things out with: it counts, and sleeps in between."""

import time

from running_jobs import Worker


class TestWorker(Worker):
    """Counts, and sleeps after each number: to see whether jobs run and stop as they should."""

    def run(self):
        for i in range(self.get_parameter("count")):
            if not self.is_active():
                break
            self.log(f"log {i}")
            self.response(f"response {i}")
            time.sleep(self.get_parameter("sleep"))

    def get_information(self):
        return {
            **super().get_information(),
            "parameters": [
                {"name": "count", "type": "integer", "default": 1, "minimum": 0, "description": "how far it counts"},
                {"name": "sleep", "type": "number", "default": 0, "minimum": 0, "description": "seconds after each"},
            ],
        }

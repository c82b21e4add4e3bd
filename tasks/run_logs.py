"""Log lines that Prefect keeps of a run, for its pages."""

from __future__ import annotations

import logging

from prefect.logging.handlers import PrefectConsoleHandler

from tasks.progress import harmless

RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class Harmless(logging.Filter):
    """Lets every line pass without secrets and control characters."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = harmless(record.getMessage()), None
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            record.exc_info, record.exc_text = None, harmless(text)
        return True


def protect_run_logs() -> None:
    """Redacts what is sent to Prefect's server, and what its worker prints. Handlers are filtered,
    not loggers: a filter of a logger does not see the lines of its children."""
    handlers = [h for name in RUN_LOGGERS for h in logging.getLogger(name).handlers]
    handlers += [h for h in logging.getLogger().handlers if isinstance(h, PrefectConsoleHandler)]
    for handler in handlers:
        if not any(isinstance(one, Harmless) for one in handler.filters):
            handler.addFilter(Harmless())
    # It warns of every task that has as many tags as there are threads, which means nothing here.
    logging.getLogger("prefect.task_runner.threadpool").setLevel(logging.ERROR)


def keep_run_logs_off_the_terminal() -> None:
    """For the command line, which shows a progress of its own: lines go to the server alone."""
    for name in RUN_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).propagate = False
    logging.raiseExceptions = (
        False  # a server that is gone would be told of for each batch of lines
    )

"""The reference application: pipelines that run on every host.

``orchestrations:app`` is the application, put together from the parts that each module is.
"""

import ostinato as ost
from activities import files, sales
from orchestrations import ingest, nightly_etl

app = ost.App("pipelines")
for part in (files.app, sales.app, ingest.app, nightly_etl.app):
    app.include(part)

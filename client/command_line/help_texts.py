"""The help texts of the command line: examples, and what is said below the options."""

from __future__ import annotations

from client.transports.web_key import VARIABLE
from prediction.endpoints import GRPC_EXAMPLE, REST_EXAMPLE, WEB_EXAMPLE

EXAMPLE_PROMPT = "a small red circle on white"

GENERATE_HELP = f"""\
examples:
  %(prog)s "{EXAMPLE_PROMPT}"
  %(prog)s "two blue stars" --seed 7 --count 4 --out pictures
  %(prog)s "a green square" --negative-prompt red --steps 30 --guidance-scale 5
  %(prog)s "a circle" --endpoint http://127.0.0.1:8080

Prints one line per picture: its path, its seed, the seconds it took. The file records the values
it was drawn with, so that the command `again` can reproduce it.

If the server is full, loading, not reachable or lost in mid-picture, the same request is sent again
until --timeout, and a line says so. A model server's request whose connection was lost is repeated
at most twice; a web service's picture goes on meanwhile. Ctrl-C cancels it there.

"""

AGAIN_HELP = """\
example:
  %(prog)s out/two-blue-stars-7.png

Saves a second file, and reports whether its pixels equal those of the first. With the same model
on the same kind of machine they do; a different model is reported too.

"""

LOAD_HELP = """\
examples:
  %(prog)s                                      50 requests, 5 at a time
  %(prog)s -n 200 -c 20 --retry
  %(prog)s -n 100 --rate 0.5 --plot load.png
  %(prog)s --tutorial parallel --stack dev --keep pictures
  %(prog)s --endpoint http://127.0.0.1:8501 --endpoint http://127.0.0.1:8601

The report has the format of hey's and judges first answers: the success rate is over all requests
sent; latencies are those of successful requests; what --retry adds is listed apart. With --rate,
latency is measured from the scheduled time. With several endpoints, each request goes to the one
with the fewest requests in flight. Exits with 0 if every first answer was a picture, else with the
code of the most frequent failure; if a file or picture cannot be written, then with 3.

"""

STATUS_HELP = """\
examples:
  %(prog)s
  %(prog)s --stack dev

Shows the web service's queue, the model, and latency figures if there are metrics. Exits with 0 if
the service is ready.

"""

PAGE_HELP = """\
examples:
  %(prog)s
  %(prog)s --stack dev

A cluster's web service is private unless its settings say otherwise: then kubectl, with your own
credentials, forwards a port of this machine to it, 8080 if that is free. Nothing is opened to
others, and your kubeconfig stays as it is. If the pod goes, the next one is connected to. The
other commands reach the service by the same address: --endpoint http://127.0.0.1:8080

"""

DOCTOR_HELP = """\
examples:
  %(prog)s
  %(prog)s --stack dev

Prints a line for each check: ok, wait, wrong or unknown, its name, what it found and what to do.
For a stack on GKE it reads the stack's state (how far did the last update come), runs gcloud and
kubectl with your own credentials, and checks the tools, the bucket (can the pods read it), the
model files, the cluster, the keys, the rollout, the pods (are they scheduled, did the model load,
is the web service ready), their log, the quota and the service. It changes nothing, and leaves your
kubeconfig alone. Exits with 0 if all is well, with 5 if something is in progress, and with 4 if a
check failed or could not run.

"""

ENDPOINT_HELP = (
    f"address of the service (instead of --stack): the web service's, {WEB_EXAMPLE}, or a model "
    f"server's, {REST_EXAMPLE} or {GRPC_EXAMPLE}"
)

ENVIRONMENT_HELP = f"""\
environment:
  {VARIABLE}  the key for a web service that asks for one

"""

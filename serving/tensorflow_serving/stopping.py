"""How a pod stops: the stock server ignores SIGTERM, so a preStop hook stops it once it is idle.

The image has bash and coreutils but no curl. The hook reads /proc: a busy server uses CPU or has
runnable threads, an idle one does not. Bash is process 1 of the container and exits with the
server.
"""

from __future__ import annotations

from serving.timing import ENDPOINT_REMOVAL_SECONDS

_SAMPLE_SECONDS = 2
_IDLE_TICKS = 20
"""A tenth of one core over a sample; a tick is a hundredth of a second."""

_SCRIPT = """\
server=
for folder in /proc/[0-9]*; do
  read -r name 2>/dev/null <"$folder/comm" || continue
  [[ $name == {name} ]] && server=${{folder#/proc/}}
done
[[ -n $server ]] || exit 0
look() {{
  read -r line 2>/dev/null <"/proc/$server/stat" || exit 0
  fields=(${{line##*) }})
  ticks=$((fields[11] + fields[12]))
  runnable=0
  for thread in "/proc/$server/task/"*; do
    read -r line 2>/dev/null <"$thread/stat" || continue
    [[ ${{line##*) }} == R* ]] && runnable=1
  done
}}
sleep {lag}
quiet=0
while ((quiet < 2)); do
  look; before=$ticks; wanted=$runnable
  sleep {sample}
  look
  if ((ticks - before < {idle} && !wanted && !runnable)); then ((quiet += 1)); else quiet=0; fi
done
kill -TERM "$server"
"""


def pre_stop_script(
    *, lag_seconds: float = ENDPOINT_REMOVAL_SECONDS, process_name: str = "tensorflow_mode"
) -> str:
    """Waits until no new requests arrive, then until the server is idle, and stops it.

    process_name: as in /proc, which truncates names to fifteen characters.
    """
    return _SCRIPT.format(
        name=process_name, lag=lag_seconds, sample=_SAMPLE_SECONDS, idle=_IDLE_TICKS
    )

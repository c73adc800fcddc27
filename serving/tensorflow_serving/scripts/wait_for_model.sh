# Waits until the server can read its model, and says what is missing. Arguments: in seconds, how long
# to wait, how long between attempts and between reports; the storage service's host and port; the
# reader's name, the role that lets it read, and the command that grants the role and uploads the model.
#
# The server itself looks once: it remembers a login that failed, and never looks again for a model
# that it did not find. $MODEL_PATH is the model's folder, in a bucket or mounted.
. "${BASH_SOURCE%/*}/get.sh"
patience=$1 pause=$2 every=$3 storage=$4 port=$5 reader=$6 role=$7 up=$8

file=$MODEL_PATH/1/saved_model.pb # uploaded after all that it needs
location=${MODEL_PATH#gs://}/1/saved_model.pb
bucket=${location%%/*} object=${location#*/}
metadata=${GCE_METADATA_HOST:-metadata.google.internal} metadata_port=80
[[ $metadata == *:* ]] && metadata_port=${metadata##*:}
reason='' said=0 token=''

missing() { # the reason: a line when it changes, then one now and then
  if [[ $1 != "$reason" ]] || ((SECONDS - said >= every)); then
    reason=$1 said=$SECONDS
    echo "$SECONDS s: $reason"
  fi
  return 1
}

status_of() { # ANSWER: sets $status to its status line without the protocol, empty if it has none
  [[ $1 =~ HTTP/1\.[01]\ ([0-9]{3}[^$'\r\n']*) ]] && status=${BASH_REMATCH[1]} || status=''
}

has_token() {
  local answer body words=''
  answer=$(get 10 "${metadata%:*}" "$metadata_port" \
    /computeMetadata/v1/instance/service-accounts/default/token 'Metadata-Flavor: Google')
  if [[ $answer =~ \"access_token\"[[:space:]]*:[[:space:]]*\"([^\"]+)\" ]]; then
    token=${BASH_REMATCH[1]}
    return
  fi
  status_of "$answer"
  if [[ $status && $status != 2* && $answer == *$'\r\n\r\n'* ]]; then
    body=${answer#*$'\r\n\r\n'}
    words=": ${body//[$'\r\n']/ }"
  fi
  missing "no token: the metadata server $metadata answers '${status:-nothing}${words:0:300}'. It takes\
 some seconds in a new pod; if it lasts, see whether workload identity is on for the cluster and the\
 node pool, and whether the network policy lets pods reach it"
}

ask_storage() { # the token goes through a pipe: arguments are visible to other processes
  printf '%s\r\n' "GET /storage/v1/b/$bucket/o/${object//\//%2F}?fields=size HTTP/1.0" \
    "Host: $storage" "Authorization: Bearer $token" '' |
    timeout --foreground 20 openssl s_client -quiet -connect "$storage:$port" \
      -servername "$storage" -verify_hostname "$storage" -verify 9 -verify_return_error
}

has_object() {
  local answer words=''
  answer=$(ask_storage 2>&1)
  status_of "$answer"
  [[ $answer =~ \"message\":\ *\"([^\"]*)\" ]] && words=" (${BASH_REMATCH[1]})"
  case $status in
    200*) return 0 ;;
    403*)
      missing "$status for $file$words: $reader lacks $role on gs://$bucket, or got it just now, which\
 takes effect within minutes; \`$up\` grants it" ;;
    404*)
      missing "$status for $file$words: the model is not in the bucket; \`$up\` uploads it" ;;
    ?*) missing "$status for $file$words: asking $storage again" ;;
    *)
      [[ $answer =~ (verify error:[^$'\r\n']*) ]] && words=" (${BASH_REMATCH[1]})"
      missing "no answer from $storage:$port$words: see whether the nodes' network (Cloud NAT, Private\
 Google Access) and the network policy let pods reach it" ;;
  esac
}

is_there() {
  if [[ $MODEL_PATH != gs://* ]]; then
    [[ -s $file ]] || missing "$file is not in the mounted bucket; \`$up\` uploads it"
    return
  fi
  has_token || return
  if ! type -P openssl >/dev/null; then
    echo "$SECONDS s: the image has no openssl, so only the login was checked, not $file"
    exit 0
  fi
  has_object
}

while ((SECONDS <= patience)); do
  if is_there; then
    echo "$SECONDS s: ready to read $file"
    exit 0
  fi
  sleep "$pause"
done
echo "gave up after $SECONDS s: $reason"
exit 1

"""The configuration file that `generate-config` writes."""

from typing import Final

SAMPLE: Final = """\
# batchata proxy run --config {file}
# ${{NAME}} is taken from the environment and must be set; ${{NAME:-default}} need not be.

server:
  host: 127.0.0.1          # another address needs client_token
  port: 4000
  # client_token: ${{GATEWAY_TOKEN}}   # clients send it as their API key
  # allowed_hosts: [gateway.internal]  # Host headers besides this machine's own names
  connect_seconds: 10
  idle_seconds: 600        # how long an upstream, or a client mid-request, may stay silent
  # keepalive_seconds: 4   # how long an idle connection is kept; 30 if all upstreams are https
  shutdown_seconds: 30     # how long calls in flight may take at shutdown
  inspect_bytes: 33554432  # larger questions wait on disk, and only their short fields are read
  spill_bytes: 1073741824  # still larger questions are refused

llm:
  base_url: {base_url}
  type: {type}             # openai or anthropic
  # api_key: ${{OPENAI_API_KEY}}       # added when clients send no key of their own
  # outbound_proxy: ${{HTTPS_PROXY}}     # if only an HTTP proxy reaches the upstream

# several upstreams, by path prefix or by model:
# upstreams:
#   - {{name: local, base_url: http://127.0.0.1:8000, type: openai, models: ["llama-*", "qwen*"]}}
#   - {{name: claude, base_url: https://api.anthropic.com, type: anthropic, prefix: /anthropic}}

sessions:
  enabled: true
  max_sessions: 50000
  ttl_seconds: 3600        # silence after which a session ends

logging:
  level: info

# batches:                 # both vendors' batch APIs for any upstream
#   directory: ./batches   # what is under way survives a restart
#   parallel: 4            # batches that run at once
#   concurrency: 32        # calls of one batch at once; by default as many as the upstream takes

# to_batch:                # live calls wait for the vendor's batches, at half the price
#   window: 6h             # what is not back by then is cancelled there and asked live
#   directory: ./held      # what is under way survives a restart
#   gather_seconds: 360    # how long calls are gathered into one batch; by default window / 60
#   heartbeat_seconds: 15  # how often a waiting client is sent a sign of life

# prices:                  # USD per million tokens, for models without a known price
#   my-model: {{input: 0.10, output: 0.40}}

# in this order; policies (budget, rate_limit, redact, replay) refuse what they cannot judge
interceptors:
  - type: printer
  # - {{type: message_logger, config: {{directory: ./message_logs}}}}
  # - {{type: event_recorder, config: {{directory: ./event_logs}}}}
  # - {{type: parquet, config: {{directory: ./events}}}}      # batchata events ./events
  # - {{type: budget, config: {{limit_usd: 5, per: day, state: ./gateway.db}}}}
  # - {{type: rate_limit, config: {{requests_per_minute: 600, per: key}}}}
  # - {{type: cache, config: {{file: ./gateway_cache.db}}}}
  # - {{type: redact}}
  # - {{type: flex}}                                         # OpenAI's half-price tier
  # - {{type: record, config: {{directory: ./cassettes}}}}
  # - {{type: replay, config: {{directory: ./cassettes, miss: strict}}}}
  # - {{type: trace_export, config: {{url: "http://127.0.0.1:4318/v1/traces", preset: otlp}}}}
  # - {{type: my_package.my_module:MyInterceptor}}
"""


def sample(file: str, *, base_url: str, vendor: str) -> str:
    """The text of a configuration file that works as it is."""
    return SAMPLE.format(file=file, base_url=base_url, type=vendor)

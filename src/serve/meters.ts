// What Prometheus reads at /metrics. One registry per server, so that two servers in one process do not mix their counts.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

export function openMeters() {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const requests = new Counter({
    name: 'sluice_requests_total',
    help: 'Requests answered.',
    labelNames: ['route', 'method', 'status'],
    registers,
  })
  const seconds = new Histogram({
    name: 'sluice_request_seconds',
    help: 'Time from the headers of a request to the end of its answer.',
    labelNames: ['route'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers,
  })
  const errors = new Counter({
    name: 'sluice_errors_total',
    help: 'Requests answered by an error.',
    labelNames: ['code'],
    registers,
  })
  const predictions = new Counter({
    name: 'sluice_predictions_total',
    help: 'Rows predicted.',
    labelNames: ['model', 'version'],
    registers,
  })
  const serving = new Gauge({
    name: 'sluice_serving_version',
    help: 'The version that answers now.',
    labelNames: ['model'],
    registers,
  })
  const keys = new Gauge({
    name: 'sluice_kept_keys',
    help: 'Keys whose rows are kept for a sequence model.',
    labelNames: ['model'],
    registers,
  })
  const failures = new Counter({
    name: 'sluice_takeover_failures_total',
    help: 'New versions that could not be served.',
    labelNames: ['model'],
    registers,
  })
  /** Unknown paths share one label: a scanner must not be able to fill the memory. */
  const answered = (request: FastifyRequest, reply: FastifyReply) => {
    const route = request.routeOptions.url ?? 'unknown'
    requests.inc({ route, method: route === 'unknown' ? 'any' : request.method, status: reply.statusCode })
    seconds.observe({ route }, reply.elapsedTime / 1000)
  }
  return { registry, errors, predictions, serving, keys, failures, answered }
}

export type Meters = ReturnType<typeof openMeters>

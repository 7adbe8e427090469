import { counter, gauge, type MetricDefinition, one } from './definition.ts';

export const FLIGHT_METRICS: readonly MetricDefinition[] = [
  gauge('weir_flights', 'Running flights', ({ flights }) => one(flights.running)),
  gauge('weir_flights_waiting', 'Requests that wait for a flight', ({ flights }) => one(flights.waiting)),
  counter('weir_flights_total', 'Flights that asked the origin', ({ flights }) => one(flights.asked)),
  counter('weir_flights_collapsed_total', "Requests answered by another request's flight", ({ flights }) =>
    one(flights.collapsed),
  ),
  counter(
    'weir_flights_outrun_total',
    'Requests that moved from a flight to a later one, because of an invalidation before they arrived',
    ({ flights }) => one(flights.outrun),
  ),
  counter(
    'weir_flights_alone_total',
    'Flights that no other request could join, because responses were private to one client',
    ({ flights }) => one(flights.alone),
  ),
  counter(
    'weir_flights_failing_total',
    "Requests answered with the origin's failure at another request",
    ({ flights }) => one(flights.failing),
  ),
  counter(
    'weir_flights_tags_left_out_total',
    'Entity tags that max-conditions and max-condition-tags kept out of requests',
    ({ flights }) => one(flights.tagsLeftOut),
  ),
  counter(
    'weir_flights_conditions_refused_total',
    'Requests sent again without conditions, because the origin refused them with conditions',
    ({ flights }) => one(flights.conditionsRefused),
  ),
  counter('weir_flights_refused_total', 'Requests refused because too many wait for flights', ({ flights }) =>
    one(flights.refused),
  ),
];

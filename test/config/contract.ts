/** Every key of the contract with its default value. */
export const CONTRACT = `
listen:
  host: 127.0.0.1
  port: 8080
  workers: auto
  trusted-proxies: []
  forwarding: any
  ambiguous-paths: refuse
  underscores: drop
  limits: { url: 8KiB, headers: 32KiB, header-count: 100, body: 100MiB, request: 60s, body-rate: 1KiB, body-grace: 10s, idle: 75s, connections: 10000 }
  stop-timeout: 30s
  stop-streams: 1s
admin:
  host: 127.0.0.1
  port: 8081
  token: "\${WEIR_ADMIN_TOKEN:-}"
  limits: { body: 1MiB, request: 30s, connections: 256 }
log: { level: info, access: false }
cache: { memory: 256MiB, disk: { path: ./.weir, size: 10GiB, queue: auto }, max-object: 1GiB, heaps: auto }
cache-status: { key: false }
fence: { records: 4000000 }
flights: { window: 1MiB, waiters: 10000, waiting: 50000, background: 32 }
origins:
  shop:
    url: "\${WEIR_ORIGIN:-demo:}"
    host-header: origin
    connections: 128
    queue: { size: 1024, timeout: 5s }
    timeouts: { connect: 2s, headers: 30s, body: 60s, abandoned: 5s }
    retry: 1
    max-processing: 60s
    demo: { delay: 0ms }
feeds:
  shop-changes:
    type: sse
    url: "\${WEIR_ORIGIN:-demo:}/changes"
    format: json
    max-silence: 30s
    read-lag: 0s
    map:
      - when: { table: products }
        invalidate: { tags: ["product:{id}", products], urls: ["/products/{id}"], prefixes: [/search] }
defaults: { cache: {}, write: {} }
routes:
  - name: product
    match: /products/{id}
    origin: shop
    cache:
      freshness: headers
      max-ttl: 24h
      negative-ttl: 10s
      on-feed-loss: revalidate
      client-directives: ignore
      ignore-origin: []
      set-cookie: pass
      bypass: { cookies: [], headers: [] }
      key: { query: all, headers: [], cookies: [] }
      tags: []
      range-miss: whole
      max-variants: 64
      evict: normal
      position-header: false
      targeted-fields: [cdn-cache-control]
      max-tags: 256
      downstream: { keep-tags: true }
    write:
      policy: around
      invalidate: { tags: [], urls: [], prefixes: [] }
      update: false
      reads: pass
      coalesce: false
      max-body: 1MiB
      oversize: reject
      on-full: reject
      on-dead: hold
      retry: { base: 200ms, max: 60s, attempts: 20 }
`;

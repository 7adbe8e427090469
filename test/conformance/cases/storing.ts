/** RFC 9111 §3 and §5.2.2: what may be stored, and which fields of it. */
import { at, notReused, reused, type Case, type Values } from '../case.ts';

const FRESH: Values = ['Cache-Control', 'max-age=3600'];

const statuses: Case[] = [
  200, 201, 202, 203, 204, 205, 299, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 414, 422,
  451, 499, 500, 501, 502, 503, 504, 505, 599,
].flatMap((status) => {
  const bodyless = status === 204 || status === 205 ? { body: '' } : {};
  return [
    reused('optional', `§3 a fresh ${status}`, FRESH, { status, ...bodyless }),
    notReused('required', `§4 a stale ${status}`, ['Cache-Control', 'max-age=3600', 'Age', '7200'], {
      status,
      ...bodyless,
    }),
  ];
});

const lengths: Case[] = [
  reused(
    'required',
    'RFC 9110 §8.6 a 204 has no content, whatever its Content-Length',
    [...FRESH, 'Content-Length', '5'],
    {
      status: 204,
      body: '',
    },
  ),
];

const directives: Case[] = [
  notReused('required', '§5.2.2.7 private', ['Cache-Control', 'private, max-age=3600']),
  notReused('required', '§5.2.2.7 Private in mixed case', ['Cache-Control', 'pRiVaTe, max-age=3600']),
  notReused('required', '§5.2.2.5 no-store', ['Cache-Control', 'no-store']),
  notReused('required', '§5.2.2.5 No-Store in mixed case', ['Cache-Control', 'nO-sTORE, max-age=3600']),
  notReused('required', '§5.2.2.5 no-store with every directive that allows storing', [
    'Cache-Control',
    'max-age=3600, public, no-store',
    'Expires',
    at(3600),
  ]),
  notReused('required', '§5.2.2.4 no-cache', [
    'Cache-Control',
    'no-cache, max-age=3600',
    'Expires',
    at(3600),
  ]),
  notReused('required', '§5.2.2.4 No-Cache in mixed case', ['Cache-Control', 'nO-cACHE, max-age=3600']),
  notReused(
    'required',
    '§5.2.2.3 must-understand with an unknown status',
    ['Cache-Control', 'max-age=3600, no-store, must-understand'],
    { status: 599 },
  ),
  reused('optional', '§5.2.2.3 must-understand with a known status', [
    'Cache-Control',
    'max-age=3600, no-store, must-understand',
  ]),
  reused('optional', '§5.2.2.2 must-revalidate while fresh', [
    'Cache-Control',
    'max-age=3600, must-revalidate',
  ]),
  reused('optional', '§5.2.2.9 public', ['Cache-Control', 'public, max-age=3600']),
  reused('optional', 'RFC 8246 immutable', ['Cache-Control', 'max-age=3600, immutable']),
  reused('optional', '§5.4 Pragma: no-cache of an answer has no effect', [...FRESH, 'Pragma', 'no-cache']),
  notReused('required', 'a response with Set-Cookie is for one client', [...FRESH, 'Set-Cookie', 'a=b']),
  {
    name: '§5.2.2.5 an older answer remains when a newer one has no-store',
    level: 'optional',
    steps: [
      { say: { fields: FRESH }, from: 'origin' },
      {
        ask: { fields: ['Cache-Control', 'no-cache'] },
        say: { fields: ['Cache-Control', 'no-store'] },
        from: 'origin',
      },
      { from: 'cache' },
    ],
  },
  ...(['no-cache', 'private'] as const).map((directive): Case => ({
    name: `§5.2.2 the fields that ${directive} names are not stored, and the rest is`,
    level: 'optional',
    steps: [
      {
        say: { fields: ['Cache-Control', `max-age=3600, ${directive}="a, B"`, 'A', '1', 'b', '2', 'c', '3'] },
        from: 'origin',
        has: ['a', '1', 'b', '2', 'c', '3'],
      },
      { from: 'cache', has: ['c', '3'], lacks: ['a', 'b'] },
    ],
  })),
];

const authorized = (
  name: string,
  cacheControl: string,
  level: Case['level'],
  from: 'origin' | 'cache',
): Case => ({
  name,
  level,
  steps: [
    {
      ask: { fields: ['Authorization', 'Basic YTpi'] },
      say: { fields: ['Cache-Control', cacheControl] },
      from: 'origin',
      sends: ['Authorization', 'Basic YTpi'],
    },
    from === 'cache' ? { from } : { from, say: { fields: ['Cache-Control', cacheControl] } },
  ],
});

const authorization: Case[] = [
  authorized('§3.5 Authorization', 'max-age=3600', 'required', 'origin'),
  authorized('§3.5 Authorization with public', 'max-age=3600, public', 'optional', 'cache'),
  authorized('§3.5 Authorization with must-revalidate', 'max-age=3600, must-revalidate', 'optional', 'cache'),
  authorized('§3.5 Authorization with s-maxage', 's-maxage=3600', 'optional', 'cache'),
];

const KEPT: Values = [
  'Test-Field',
  'a',
  'X-Test-Field',
  'b',
  'Content-Foo',
  'c',
  'Content-Location',
  '/there',
  'Content-Language',
  'en',
  'Content-Security-Policy',
  "default-src 'self'",
  'Content-Type',
  'text/plain',
  'ETag',
  '"1"',
  'Clear-Site-Data',
  '"cache"',
  'Strict-Transport-Security',
  'max-age=1',
  'X-Frame-Options',
  'deny',
  'Set-Cookie2',
  'a=b',
  'WWW-Authenticate',
  'Basic',
  'Public-Key-Pins',
  'x',
  'Link',
  '</a>; rel=next',
  'Server',
  'origin/1',
  'Expires',
  'Fri, 01 Jan 2038 00:00:00 GMT',
];
const NOT_KEPT: Values = [
  'Keep-Alive',
  'timeout=5',
  'Proxy-Authenticate',
  'Basic',
  'Proxy-Authentication-Info',
  'x',
  'Proxy-Authorization',
  'y',
  'Proxy-Connection',
  'keep-alive',
  'TE',
  'trailers',
  'Upgrade',
  'x/1',
];

function each(values: Values): [string, string][] {
  return values.flatMap((name, i) => (i % 2 === 0 ? [[String(name), String(values[i + 1])]] : [])) as [
    string,
    string,
  ][];
}

const fields: Case[] = [
  ...each(KEPT).map(([name, value]): Case => ({
    name: `§3.1 ${name} is stored`,
    level: 'required',
    steps: [
      { say: { fields: [...FRESH, name, value] }, from: 'origin' },
      { from: 'cache', has: [name, value] },
    ],
  })),
  ...each(NOT_KEPT).map(([name, value]): Case => ({
    name: `§3.1 ${name} is not stored`,
    level: 'required',
    steps: [
      { say: { fields: [...FRESH, name, value] }, from: 'origin' },
      // This field describes Weir's connection to the client.
      { from: 'cache', ...(name === 'Keep-Alive' ? {} : { lacks: [name] }) },
    ],
  })),
  {
    name: '§3.1 the fields that Connection names are not stored, and the rest is',
    level: 'required',
    steps: [
      {
        say: { fields: [...FRESH, 'Connection', 'a, B', 'a', '1', 'b', '2', 'c', '3'] },
        from: 'origin',
        lacks: ['a', 'b'],
      },
      { from: 'cache', lacks: ['a', 'b'], has: ['c', '3'] },
    ],
  },
  {
    name: 'RFC 9110 §6.6.1 an answer without a Date gets one',
    level: 'required',
    steps: [
      { say: { fields: [...FRESH, 'Date', 'yesterday'] }, from: 'origin' },
      { from: 'cache', has: ['Date', at(0)] },
    ],
  },
];

const targeted = (fields: Values): Values => fields;
const TARGET = 'CDN-Cache-Control';
const cdn: Case[] = [
  reused('optional', 'RFC 9213 a targeted max-age', targeted([TARGET, 'max-age=3600'])),
  reused('optional', 'RFC 9213 a targeted max-age of 2^31', [TARGET, 'max-age=2147483648']),
  reused('optional', 'RFC 9213 a targeted max-age far beyond 2^31', [TARGET, 'max-age=99999999999']),
  notReused('required', 'RFC 9213 an Age beyond the targeted max-age', [
    TARGET,
    'max-age=3600',
    'Age',
    '7200',
  ]),
  notReused('required', 'RFC 9213 a targeted max-age=0', [TARGET, 'max-age=0']),
  notReused('required', 'RFC 9213 a targeted max-age=0 before Expires', [
    TARGET,
    'max-age=0',
    'Expires',
    at(3600),
  ]),
  reused('optional', 'RFC 9213 an unknown member before the targeted max-age', [
    TARGET,
    'colour, max-age=3600',
  ]),
  reused('optional', 'RFC 9213 a targeted max-age before an Expires in the past', [
    TARGET,
    'max-age=3600',
    'Expires',
    at(-3600),
  ]),
  reused('optional', 'RFC 9213 a targeted max-age before an invalid Expires', [
    TARGET,
    'max-age=3600',
    'Expires',
    '0',
  ]),
  reused('optional', 'RFC 9213 a targeted max-age before a shorter Cache-Control', [
    'Cache-Control',
    'max-age=0',
    TARGET,
    'max-age=3600',
  ]),
  notReused('required', 'RFC 9213 a targeted max-age before a longer Cache-Control', [
    'Cache-Control',
    'max-age=3600',
    TARGET,
    'max-age=0',
  ]),
  notReused('required', 'RFC 9213 a targeted private', [...FRESH, TARGET, 'private']),
  notReused('required', 'RFC 9213 a targeted no-cache', [...FRESH, TARGET, 'no-cache']),
  notReused('required', 'RFC 9213 a targeted no-store', [...FRESH, TARGET, 'no-store']),
  reused('required', 'RFC 9213 a targeted max-age before no-store of Cache-Control', [
    'Cache-Control',
    'no-store',
    TARGET,
    'max-age=3600',
  ]),
  notReused('required', 'RFC 9213 a field that does not parse counts as absent', [
    'Cache-Control',
    'no-store',
    TARGET,
    'max-age=3600, &&&',
  ]),
  notReused('required', 'RFC 9213 a lifetime of the wrong type', [
    'Cache-Control',
    'no-store',
    TARGET,
    'max-age="3600"',
  ]),
  reused('optional', 'RFC 9213 an empty field counts as absent', [...FRESH, TARGET, '']),
];

export const storing: readonly Case[] = [
  ...statuses,
  ...lengths,
  ...directives,
  ...authorization,
  ...fields,
  ...cdn,
];

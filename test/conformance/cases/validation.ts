/** RFC 9111 §3.2, §4.2.4, §4.3, §4.4 and RFC 9110 §13, §14: conditions, ranges, updates, invalidation and stale answers. */
import { problem } from '../../../proxy/http/problem.ts';
import { at, type Case, type Step, type Values } from '../case.ts';

const FRESH: Values = ['Cache-Control', 'max-age=3600'];
const STALE: Values = ['Cache-Control', 'max-age=60', 'Age', '120'];
const TAGGED: Values = ['ETag', '"abc"'];
const DATED: Values = ['Last-Modified', 'Wed, 01 Jan 2020 00:00:00 GMT'];

const fresh = (more: Values = [], body?: string): Step => ({
  say: { fields: [...FRESH, ...more], ...(body === undefined ? {} : { body }) },
  from: 'origin',
});
const stale = (more: Values): Step => ({ say: { fields: [...STALE, ...more] }, from: 'origin' });

function problemText(status: number, title: string, detail: string): string {
  return new TextDecoder().decode(problem(status, title, detail).content);
}

function conditional(name: string, stored: Values, asked: Values, status: 200 | 304): Case {
  const has = status === 304 && stored.includes('ETag') ? ['ETag', stored[stored.indexOf('ETag') + 1]!] : [];
  const step: Step = { ask: { fields: asked }, from: 'cache', status, has };
  return { name: `RFC 9110 §13 ${name}`, level: 'optional', steps: [fresh(stored), step] };
}

const conditions: Case[] = [
  conditional('the stored tag', TAGGED, ['If-None-Match', '"abc"'], 304),
  conditional('another tag', TAGGED, ['If-None-Match', '"def"'], 200),
  conditional('a weak tag', ['ETag', 'W/"abc"'], ['If-None-Match', 'W/"abc"'], 304),
  conditional('a weak tag for a strong one', TAGGED, ['If-None-Match', 'W/"abc"'], 304),
  conditional('the first of several tags', TAGGED, ['If-None-Match', '"abc", "1", "2"'], 304),
  conditional('the middle one of several tags', TAGGED, ['If-None-Match', '"1", "abc", "2"'], 304),
  conditional('the last one of several tags', TAGGED, ['If-None-Match', '"1","2" , "abc"'], 304),
  conditional('a star', TAGGED, ['If-None-Match', '*'], 304),
  conditional(
    'a matching tag before a date that does not match',
    [...TAGGED, ...DATED],
    ['If-None-Match', '"abc"', 'If-Modified-Since', at(-1e9)],
    304,
  ),
  conditional(
    'another tag before a date that matches',
    [...TAGGED, ...DATED],
    ['If-None-Match', '"x"', 'If-Modified-Since', at(0)],
    200,
  ),
  conditional('the stored date', DATED, ['If-Modified-Since', 'Wed, 01 Jan 2020 00:00:00 GMT'], 304),
  conditional('a later date', DATED, ['If-Modified-Since', at(-1000)], 304),
  conditional('an earlier date', DATED, ['If-Modified-Since', 'Tue, 01 Jan 2019 00:00:00 GMT'], 200),
  conditional(
    'a date in the form of RFC 850',
    DATED,
    ['If-Modified-Since', 'Wednesday, 01-Jan-20 00:00:00 GMT'],
    304,
  ),
  conditional('an invalid date', DATED, ['If-Modified-Since', 'today'], 200),
  conditional(
    'a date compared with Date where there is no Last-Modified',
    [],
    ['If-Modified-Since', at(60)],
    304,
  ),
  {
    name: '§4.3.1 a stale answer is validated by its tag',
    level: 'optional',
    steps: [stale(TAGGED), { say: { fields: STALE }, from: 'etag', sends: ['If-None-Match', '"abc"'] }],
  },
  {
    name: '§4.3.1 a stale answer is validated by its weak tag',
    level: 'optional',
    steps: [
      stale(['ETag', 'W/"abc"']),
      { say: { fields: STALE }, from: 'etag', sends: ['If-None-Match', 'W/"abc"'] },
    ],
  },
  {
    name: '§4.3.1 a stale answer is validated by its date',
    level: 'optional',
    steps: [
      stale(DATED),
      { say: { fields: STALE }, from: 'date', sends: ['If-Modified-Since', 'Wed, 01 Jan 2020 00:00:00 GMT'] },
    ],
  },
  {
    name: '§4.3.1 a validation has the fields that Vary names',
    level: 'required',
    steps: [
      {
        ask: { fields: ['Foo', '1'] },
        say: { fields: [...STALE, ...TAGGED, 'Vary', 'Foo'] },
        from: 'origin',
      },
      { ask: { fields: ['Foo', '1'] }, say: { fields: STALE }, from: 'etag', sends: ['Foo', '1'] },
    ],
  },
  {
    name: '§4.3.1 a request for another variant asks whether the stored one applies',
    level: 'optional',
    steps: [
      {
        ask: { fields: ['Foo', '1'] },
        say: { fields: [...FRESH, ...TAGGED, 'Vary', 'Foo'] },
        from: 'origin',
      },
      { ask: { fields: ['Foo', '2'] }, say: { fields: [...FRESH, ...TAGGED, 'Vary', 'Foo'] }, from: 'etag' },
    ],
  },
  {
    name: '§4.3.2 the client’s condition is evaluated after the validation',
    level: 'optional',
    steps: [
      stale(TAGGED),
      {
        ask: { fields: ['If-None-Match', '"abc"'] },
        say: { fields: [...FRESH, ...TAGGED] },
        from: 'etag',
        status: 304,
      },
      { from: 'cache' },
    ],
  },
  {
    name: '§4.3.3 a new answer replaces the old one',
    level: 'required',
    steps: [
      stale(TAGGED),
      { say: { fields: [...FRESH, 'ETag', '"def"'] }, from: 'origin' },
      { from: 'cache', bodyOf: 1, has: ['ETag', '"def"'] },
    ],
  },
  {
    name: '§5.2.2.4 no-cache is validated at every use',
    level: 'optional',
    steps: [
      { say: { fields: ['Cache-Control', 'no-cache, max-age=3600', ...TAGGED] }, from: 'origin' },
      { say: { fields: ['Cache-Control', 'no-cache, max-age=3600', ...TAGGED] }, from: 'etag' },
      { say: { fields: ['Cache-Control', 'no-cache, max-age=3600', ...TAGGED] }, from: 'etag' },
    ],
  },
  {
    name: '§5.2.2.2 must-revalidate is validated when stale',
    level: 'required',
    steps: [
      {
        say: { fields: ['Cache-Control', 'max-age=60, must-revalidate', 'Age', '120', ...TAGGED] },
        from: 'origin',
      },
      { say: { fields: STALE }, from: 'etag' },
    ],
  },
  {
    name: 'RFC 9110 §13.1.1 a false If-Match is left to the origin',
    level: 'required',
    steps: [
      fresh(TAGGED),
      {
        ask: { fields: ['If-Match', '"def"'] },
        say: { status: 412, body: 'no' },
        from: 'origin',
        sends: ['If-Match', '"def"'],
      },
    ],
  },
];

function updates(name: string, before: string, after: string, kept: string, level: Case['level']): Case {
  const more = name === 'Cache-Control' ? [] : FRESH;
  const validator = name === 'ETag' ? DATED : TAGGED;
  const initial: Values = name === 'Cache-Control' ? ['Age', '120'] : STALE;
  return {
    name: `§3.2 ${name} of a 304 ${kept === after ? 'replaces the stored one' : 'does not replace the stored one'}`,
    level,
    steps: [
      { say: { fields: [...initial, ...validator, name, before] }, from: 'origin' },
      {
        say: { fields: [...more, ...validator, name, after] },
        from: name === 'ETag' ? 'date' : 'etag',
        has: [name, kept],
      },
      { from: 'cache', has: [name, kept] },
    ],
  };
}

const updating: Case[] = [
  ...['Test-Field', 'X-Test-Field', 'Content-Foo', 'X-Content-Foo'].map((name) =>
    updates(name, 'a', 'b', 'b', 'required'),
  ),
  updates('Cache-Control', 'max-age=60', 'max-age=3600', 'max-age=3600', 'required'),
  updates(
    'Expires',
    'Fri, 01 Jan 2038 00:00:00 GMT',
    'Mon, 04 Jan 2038 00:00:00 GMT',
    'Mon, 04 Jan 2038 00:00:00 GMT',
    'required',
  ),
  updates('Content-Location', '/a', '/b', '/b', 'optional'),
  updates(
    'Content-Security-Policy',
    "default-src 'self'",
    "default-src 'none'",
    "default-src 'none'",
    'optional',
  ),
  updates('X-Frame-Options', 'deny', 'sameorigin', 'sameorigin', 'optional'),
  updates('Content-Type', 'text/plain', 'text/html', 'text/plain', 'optional'),
  updates('Content-Encoding', 'gzip', 'br', 'gzip', 'required'),
  {
    name: '§3.2 a 304 with few fields leaves the stored ones unchanged',
    level: 'required',
    steps: [stale([...DATED, 'Foo', 'x']), { say: { fields: DATED }, from: 'date', has: ['Foo', 'x'] }],
  },
  {
    name: '§3.2 the Content-Length of a 304 does not affect the content',
    level: 'required',
    steps: [
      { say: { fields: [...STALE, ...TAGGED], body: 'five.' }, from: 'origin' },
      {
        say: { fields: [...FRESH, ...TAGGED], body: '' },
        from: 'etag',
        body: 'five.',
        has: ['Content-Length', '5'],
      },
      { from: 'cache', body: 'five.', has: ['Content-Length', '5'] },
    ],
  },
  {
    name: '§3.2 a 304 makes the entry fresh again, and its Age starts anew',
    level: 'required',
    steps: [stale(TAGGED), { say: { fields: FRESH }, from: 'etag' }, { from: 'cache' }],
  },
  {
    name: '§4.3.4 a 304 with another tag confirms nothing',
    level: 'required',
    steps: [fresh(TAGGED), { from: 'cache' }],
  },
  {
    name: '§4.3.5 HEAD goes to the origin where the GET is stale',
    level: 'optional',
    steps: [stale(TAGGED), { ask: { method: 'HEAD' }, say: { fields: FRESH }, from: 'origin' }],
  },
  {
    name: '§4.3.5 a HEAD with the same validator freshens the GET',
    level: 'optional',
    steps: [
      stale([...TAGGED, 'Foo', '1', 'Bar', '1']),
      {
        ask: { method: 'HEAD' },
        say: { fields: [...FRESH, ...TAGGED, 'Foo', '2'] },
        from: 'origin',
      },
      { from: 'cache', has: ['Foo', '2', 'Bar', '1'] },
    ],
  },
  {
    name: '§4.3.5 a HEAD with another validator makes the GET stale',
    level: 'optional',
    steps: [
      stale(TAGGED),
      { ask: { method: 'HEAD' }, say: { fields: [...FRESH, 'ETag', '"def"'] }, from: 'origin' },
      { say: { fields: FRESH }, from: 'origin' },
    ],
  },
];

const UNSAFE = ['POST', 'PUT', 'DELETE', 'PATCH', 'M-SEARCH'];

const invalidation: Case[] = [
  ...UNSAFE.map((method): Case => ({
    name: `§4.4 ${method} invalidates the stored answer`,
    level: 'required',
    steps: [fresh(), { ask: { method, body: 'x' }, from: 'origin' }, fresh()],
  })),
  ...UNSAFE.map((method): Case => ({
    name: `§4.4 a failed ${method} does not invalidate`,
    level: 'optional',
    steps: [fresh(), { ask: { method, body: 'x' }, say: { status: 500 }, from: 'origin' }, { from: 'cache' }],
  })),
  ...UNSAFE.map((method) => invalidatesNamed(method, 'Location')),
  ...UNSAFE.map((method) => invalidatesNamed(method, 'Content-Location')),
];

function invalidatesNamed(method: string, field: string): Case {
  return {
    name: `§4.4 ${method} invalidates the URI in its ${field}`,
    level: 'optional',
    steps: [
      { ask: { more: '/there' }, ...fresh() },
      { ask: { method, body: 'x', more: '/here' }, say: { fields: [field, 'there'] }, from: 'origin' },
      { ask: { more: '/there' }, ...fresh() },
    ],
  };
}

const posted: Case[] = [
  {
    name: 'RFC 9110 §9.3.3 a fresh answer to POST that is located at its target answers a GET',
    level: 'optional',
    steps: [
      {
        ask: { method: 'POST', body: 'x', more: '/posted' },
        say: { fields: [...FRESH, 'Content-Location', 'posted'] },
        from: 'origin',
      },
      { ask: { more: '/posted' }, from: 'cache' },
    ],
  },
  {
    name: 'RFC 9110 §9.3.3 an answer to POST without Content-Location does not answer a GET',
    level: 'required',
    steps: [{ ask: { method: 'POST', body: 'x' }, say: { fields: FRESH }, from: 'origin' }, fresh()],
  },
];

const unaffected: Case[] = [
  {
    name: '§4.4 a URI of another site is not invalidated',
    level: 'required',
    steps: [
      fresh(),
      {
        ask: { method: 'POST', body: 'x', more: '/here' },
        say: { fields: ['Location', 'http://elsewhere.example/there'] },
        from: 'origin',
      },
      { from: 'cache' },
    ],
  },
  ...['OPTIONS', 'TRACE'].map((method): Case => ({
    name: `RFC 9110 §9.2.1 ${method} is safe`,
    level: 'optional',
    steps: [fresh(), { ask: { method }, from: 'origin' }, { from: 'cache' }],
  })),
  {
    name: '§3 an answer to OPTIONS is not stored for GET',
    level: 'required',
    steps: [{ ask: { method: 'OPTIONS' }, say: { fields: FRESH }, from: 'origin' }, fresh()],
  },
  {
    name: '§3 an answer to HEAD is not stored for GET',
    level: 'required',
    steps: [{ ask: { method: 'HEAD' }, say: { fields: FRESH }, from: 'origin' }, fresh()],
  },
];

const TEN = '0123456789';
function ranged(name: string, range: string, body: string, contentRange: string): Case {
  const step: Step = {
    ask: { fields: ['Range', range] },
    from: 'cache',
    status: 206,
    body,
    has: ['Content-Range', contentRange, 'Content-Length', String(body.length)],
  };
  return {
    name: `RFC 9110 §14 ${name}`,
    level: 'optional',
    steps: [fresh(['Foo', '1'], TEN), { ...step, has: [...step.has!, 'Foo', '1'] }],
  };
}

const ranges: Case[] = [
  ranged('the first bytes', 'bytes=0-1', '01', 'bytes 0-1/10'),
  ranged('the middle', 'bytes=3-5', '345', 'bytes 3-5/10'),
  ranged('from a position to the end', 'bytes=7-', '789', 'bytes 7-9/10'),
  ranged('the last bytes', 'bytes=-1', '9', 'bytes 9-9/10'),
  ranged('more than the content has', 'bytes=8-100', '89', 'bytes 8-9/10'),
  ranged('an end beyond the content', 'bytes=-100', TEN, 'bytes 0-9/10'),
  {
    name: 'RFC 9110 §14.2 a range beyond the end is 416',
    level: 'optional',
    steps: [
      fresh([], TEN),
      {
        ask: { fields: ['Range', 'bytes=20-'] },
        from: 'cache',
        status: 416,
        has: ['Content-Range', 'bytes */10'],
        body: problemText(416, 'Range Not Satisfiable', 'No requested range overlaps the content.'),
      },
    ],
  },
  ...['lines=1-2', 'bytes=b-a', 'bytes=5-2'].map((range): Case => ({
    name: `RFC 9110 §14.2 ${range} is ignored`,
    level: 'required',
    steps: [fresh([], TEN), { ask: { fields: ['Range', range] }, from: 'cache' }],
  })),
  {
    name: 'RFC 9110 §13.1.5 If-Range with the stored tag',
    level: 'optional',
    steps: [
      fresh(TAGGED, TEN),
      {
        ask: { fields: ['Range', 'bytes=0-1', 'If-Range', '"abc"'] },
        from: 'cache',
        status: 206,
        body: '01',
      },
    ],
  },
  {
    name: 'RFC 9110 §13.1.5 If-Range with another tag gets the whole',
    level: 'required',
    steps: [
      fresh(TAGGED, TEN),
      { ask: { fields: ['Range', 'bytes=0-1', 'If-Range', '"def"'] }, from: 'cache' },
    ],
  },
  {
    name: 'RFC 9110 §13.1.5 If-Range with a weak tag gets the whole',
    level: 'required',
    steps: [
      fresh(['ETag', 'W/"abc"'], TEN),
      { ask: { fields: ['Range', 'bytes=0-1', 'If-Range', 'W/"abc"'] }, from: 'cache' },
    ],
  },
  {
    name: 'RFC 9110 §13.1.5 If-Range with the stored date',
    level: 'optional',
    steps: [
      fresh(DATED, TEN),
      {
        ask: { fields: ['Range', 'bytes=-2', 'If-Range', String(DATED[1])] },
        from: 'cache',
        status: 206,
        body: '89',
      },
    ],
  },
  {
    name: 'a range of a missing entry is cut from the whole, which is stored',
    level: 'optional',
    steps: [
      {
        ask: { fields: ['Range', 'bytes=2-3'] },
        say: { fields: FRESH, body: TEN },
        from: 'origin',
        status: 206,
        body: '23',
      },
      { from: 'cache' },
    ],
  },
  {
    name: '§3.3 a part does not answer a request for the whole',
    level: 'required',
    steps: [
      {
        ask: { fields: ['Range', 'bytes=0-4'] },
        say: { status: 206, fields: [...FRESH, 'Content-Range', 'bytes 0-4/10'], body: '01234' },
        from: 'origin',
      },
      { say: { fields: FRESH, body: TEN }, from: 'origin' },
    ],
  },
];

const failing = (name: string, directives: string, level: Case['level'], then: Step): Case => ({
  name,
  level,
  steps: [
    {
      say: { fields: ['Cache-Control', `max-age=60${directives}`, 'Age', '120', ...TAGGED] },
      from: 'origin',
    },
    then,
  ],
});
const UNREACHABLE = { say: { cut: true }, lacks: ['ETag'] } as const;
const gateway = (status: 502 | 504): string =>
  problemText(
    status,
    status === 502 ? 'Bad Gateway' : 'Gateway Timeout',
    'The origin gave no usable response (connection_terminated).',
  );

const staleness: Case[] = [
  failing('RFC 5861 §4 stale-if-error when the connection is closed', ', stale-if-error=3600', 'optional', {
    ...UNREACHABLE,
    lacks: [],
    from: 'origin',
    status: 200,
    bodyOf: 0,
  }),
  failing('RFC 5861 §4 stale-if-error at a 503', ', stale-if-error=3600', 'optional', {
    say: { status: 503 },
    from: 'origin',
    status: 200,
    bodyOf: 0,
  }),
  failing('RFC 5861 §4 stale-if-error does not apply to a 404', ', stale-if-error=3600', 'required', {
    say: { status: 404 },
    from: 'origin',
  }),
  failing('RFC 5861 §4 stale-if-error ends', ', stale-if-error=30', 'required', {
    say: { status: 503 },
    from: 'origin',
  }),
  failing('RFC 5861 §4 stale-if-error of the request', '', 'optional', {
    ask: { fields: ['Cache-Control', 'stale-if-error=3600'] },
    say: { status: 500 },
    from: 'origin',
    status: 200,
    bodyOf: 0,
  }),
  failing('RFC 5861 §3 stale-while-revalidate answers at once', ', stale-while-revalidate=3600', 'optional', {
    say: { fields: [...FRESH, ...TAGGED] },
    from: 'refresh',
    status: 200,
    bodyOf: 0,
  }),
  failing('RFC 5861 §3 stale-while-revalidate ends', ', stale-while-revalidate=30', 'required', {
    say: { fields: STALE },
    from: 'etag',
  }),
  ...['must-revalidate', 'proxy-revalidate', 's-maxage=60'].map((directive) =>
    failing(`§4.2.4 ${directive} forbids stale answers`, `, ${directive}, stale-if-error=3600`, 'required', {
      ...UNREACHABLE,
      from: 'origin',
      status: 504,
      body: gateway(504),
    }),
  ),
  failing('§4.2.4 no-cache forbids stale answers', ', no-cache, stale-if-error=3600', 'required', {
    ...UNREACHABLE,
    from: 'origin',
    status: 502,
    body: gateway(502),
  }),
];

export const validation: readonly Case[] = [
  ...conditions,
  ...updating,
  ...invalidation,
  ...posted,
  ...unaffected,
  ...ranges,
  ...staleness,
];

/** The demo shop's paths, their responses and caching fields. */
import type { IncomingHttpHeaders } from 'node:http';
import { cacheable, jsonAnswer, problem } from './answer.ts';
import type { Answer } from './answer.ts';
import type { Catalogue } from './catalogue.ts';
import { drawImage, isImageSize } from './image.ts';
import { indexPage } from './index-page.ts';
import { addProducts, deleteProduct, patchProduct, putProduct } from './product-writes.ts';

export interface ShopRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

type Method = (request: ShopRequest, catalogue: Catalogue, id: string) => Answer;

interface Route {
  /** The pattern of the path, with one capturing group if it contains an id. */
  readonly path: RegExp;
  readonly methods: Readonly<Record<string, Method>>;
}

export function answerRequest(request: ShopRequest, catalogue: Catalogue): Answer {
  for (const { path, methods } of routes) {
    const match = path.exec(request.url.pathname);
    if (match === null) continue;
    const method = methods[request.method === 'HEAD' ? 'GET' : request.method];
    if (method === undefined) return notAllowed(methods);
    return method(request, catalogue, match[1] ?? '');
  }
  return problem(404, 'No such page', { 'Cache-Control': 'max-age=10' });
}

const routes: readonly Route[] = [
  { path: /^\/$/, methods: { GET: showIndex } },
  {
    path: /^\/products$/,
    methods: { GET: listProducts, POST: ({ body }, catalogue) => addProducts(catalogue, body) },
  },
  {
    path: /^\/products\/([\w-]{1,64})$/,
    methods: {
      GET: showProduct,
      PUT: ({ headers, body }, catalogue, id) => putProduct(catalogue, id, headers, body),
      PATCH: ({ headers, body }, catalogue, id) => patchProduct(catalogue, id, headers, body),
      DELETE: ({ headers }, catalogue, id) => deleteProduct(catalogue, id, headers),
    },
  },
  { path: /^\/search$/, methods: { GET: searchProducts } },
  { path: /^\/images\/([\w-]{1,64})$/, methods: { GET: showImage } },
];

function showIndex({ headers }: ShopRequest, catalogue: Catalogue): Answer {
  const page = indexPage(headers.accept ?? '');
  const answer = cacheable(Buffer.from(page.text), page.contentType, {
    cacheControl: 'max-age=300',
    surrogateKey: 'index',
    lastModifiedMs: catalogue.openedAtMs,
  });
  return { ...answer, headers: { ...answer.headers, Vary: 'Accept' } };
}

function listProducts({ url }: ShopRequest, catalogue: Catalogue): Answer {
  return jsonAnswer(catalogue.list(url.searchParams.get('category')), {
    cacheControl: 'max-age=30, stale-while-revalidate=60',
    surrogateKey: 'products',
    lastModifiedMs: catalogue.lastChangeAtMs,
  });
}

function searchProducts({ url }: ShopRequest, catalogue: Catalogue): Answer {
  return jsonAnswer(catalogue.search(url.searchParams.get('q') ?? ''), {
    cacheControl: 'max-age=30',
    surrogateKey: 'products search',
    lastModifiedMs: catalogue.lastChangeAtMs,
  });
}

function showProduct(_request: ShopRequest, catalogue: Catalogue, id: string): Answer {
  const product = catalogue.get(id);
  if (product === null) return noProduct(id);
  return jsonAnswer(product, {
    cacheControl: 'max-age=60, stale-while-revalidate=30, stale-if-error=600',
    surrogateKey: `product:${id} category:${encodeURIComponent(product.category.toWellFormed())}`,
    lastModifiedMs: catalogue.changedAtMs(id),
  });
}

function showImage({ url }: ShopRequest, catalogue: Catalogue, id: string): Answer {
  const size = url.searchParams.get('size') ?? 'small';
  if (!isImageSize(size)) return problem(400, 'size is one of small, medium, large');
  if (catalogue.get(id) === null) return noProduct(id);
  return cacheable(drawImage(id, size), 'image/bmp', {
    cacheControl: 'max-age=86400',
    surrogateKey: `product:${id} images`,
    lastModifiedMs: catalogue.openedAtMs,
  });
}

/** The 404 for a missing product. It has the product's tag, so that the product's creation invalidates stored 404s. */
function noProduct(id: string): Answer {
  return problem(404, 'No such product', {
    'Cache-Control': 'max-age=10',
    'Surrogate-Key': `product:${id}`,
  });
}

function notAllowed(methods: Route['methods']): Answer {
  const allow = Object.keys(methods).flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  return problem(405, 'This page does not take that method', {
    'Cache-Control': 'no-store',
    Allow: allow.join(', '),
  });
}

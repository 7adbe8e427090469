/** The demo shop's front page, for people and programs: a list of URLs to try. */
interface Page {
  readonly contentType: string;
  readonly text: string;
}

export function indexPage(accept: string): Page {
  return accept.includes('application/json') && !accept.includes('text/html')
    ? { contentType: 'application/json', text: JSON.stringify({ links }) }
    : { contentType: 'text/html; charset=utf-8', text: html };
}

const links = [
  { href: '/products', title: 'all products' },
  { href: '/products?category=lighting', title: 'the products of one category' },
  { href: '/products/1', title: 'one product: GET, PUT, PATCH, DELETE' },
  { href: '/search?q=lamp', title: 'a search' },
  { href: '/images/1?size=small', title: 'a picture of 4 KiB; medium is 64 KiB, large 1 MiB' },
  { href: '/changes', title: 'every change as it happens, as server-sent events' },
];

const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>A small shop behind Weir</title>
<h1>A small shop behind Weir</h1>
<p>Ask twice and look at the <code>Cache-Status</code> and <code>Age</code> of the answers:</p>
<ul>
${links.map(({ href, title }) => `<li><a href="${href}">${href}</a>: ${title}</li>`).join('\n')}
</ul>
<p>Then change something and ask again:</p>
<pre>curl -i -X PATCH -d '{"stock": 3}' http://HOST/products/1
curl -i -X POST -d '{"name": "Umbrella stand"}' http://HOST/products
curl -i -X DELETE http://HOST/products/12</pre>
</html>
`;

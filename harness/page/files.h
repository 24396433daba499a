/* The page's own style and script, page.css and page.js: the build makes bytes of them.
 * A browser lets nothing else run: the page's security policy names the hashes of these two. */
#ifndef PAL_PAGE_FILES_H
#define PAL_PAGE_FILES_H

extern const char page_css[], page_js[];

#endif

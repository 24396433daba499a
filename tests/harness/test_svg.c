/* Pictures in a page: what draws is copied, what could run or load anything stops the picture.
 * The hostile pictures are variants of the ways by which an SVG gets a browser to act. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/page/svg.h"

#include <stdlib.h>
#include <string.h>

#define HEAD                                                                                                      \
    "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"9\" "         \
    "height=\"8\""

static pal_error err;

/* The picture as a page gets it, in new memory; NULL: refused. */
static char *cleaned(const char *svg, const char *label)
{
    svg_picture p;
    char *text = NULL;
    size_t size = 0;
    err.text[0] = '\0';
    if (svg_read(svg, strlen(svg), "f1-", &p, &err) != PAL_OK) {
        assert_int_equal(err.code, PAL_DATA);
        assert_null(p.body);
        return NULL;
    }
    FILE *out = open_memstream(&text, &size);
    svg_put(out, &p, label);
    fclose(out);
    svg_free(&p);
    return text;
}

static void check_clean(const char *svg, const char *expected)
{
    char *text = cleaned(svg, "L");
    if (!text) fail_msg("refused: %s\n%s", svg, err.text);
    assert_string_equal(text, expected);
    free(text);
}

static void test_drawing(void **state)
{
    (void)state;
#define OUT(body) "<svg role=\"img\" aria-label=\"L\" viewBox=\"0 0 9 8\" width=\"9\" height=\"8\">" body "</svg>"
    check_clean(HEAD "/>", OUT(""));
    check_clean("<?xml version='1.0'?><!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' "
                "'http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd'>" HEAD "><!-- words --><g  fill = 'none'\n>"
                "<path d='M0,0 L1,1'/></g></svg>",
                OUT("<g fill=\"none\"><path d=\"M0,0 L1,1\"></path></g>"));
    /* Text stands for itself, however it was written. */
    check_clean(HEAD
                "><text x='1'>a &lt;b&gt; &amp; <![CDATA[<script>]]><tspan>\xc3\xa9 &#233;</tspan></text></svg>",
                OUT("<text x=\"1\">a &lt;b&gt; &amp; &lt;script&gt;<tspan>\xc3\xa9 \xc3\xa9</tspan></text>"));
    /* Identifiers get the prefix, and so does what names them; others are left out. */
    check_clean(
        HEAD "><defs><circle id='dot' r='1'/><use xlink:href='#dot' id='two'/></defs>"
             "<use href='#two' x='1'/><rect id='r' fill=\"url('#dot')\" clip-path='url(#dot)'/><g id='r'/></svg>",
        OUT("<defs><circle id=\"f1-dot\" r=\"1\"></circle><use href=\"#f1-dot\" id=\"f1-two\"></use></defs>"
            "<use href=\"#f1-two\" x=\"1\"></use>"
            "<rect fill=\"url(#f1-dot)\" clip-path=\"url(#f1-dot)\"></rect><g></g>"));
    /* A style becomes attributes: the page lets no style of a picture's own work. */
    check_clean(HEAD "><rect fill='red' style=' fill : rgb(1, 2,3); stroke:none;'/></svg>",
                OUT("<rect fill=\"rgb(1, 2,3)\" stroke=\"none\"></rect>"));
    /* Other programs' notes draw nothing and are left out. */
    check_clean(HEAD " xmlns:e='urn:editor' e:version='1'><metadata><e:script onload='x'>y</e:script></metadata>"
                     "<g class='c' data-x='1' e:label='l' xml:space='preserve'/></svg>",
                OUT("<g xml:space=\"preserve\"></g>"));
    /* The same elements under a prefix of the file's own. */
    check_clean("<s:svg xmlns:s=\"http://www.w3.org/2000/svg\" viewBox='0 0 9 8'><s:g/></s:svg>", OUT("<g></g>"));
}

static void test_words(void **state)
{
    (void)state;
    svg_picture p;
    const char svg[] =
        HEAD "><title>A &amp; B</title><desc>What &lt;it&gt; shows</desc><g><title>part</title></g></svg>";
    assert_int_equal(svg_read(svg, strlen(svg), "f1-", &p, &err), PAL_OK);
    assert_string_equal(p.title, "A & B");
    assert_string_equal(p.about, "What <it> shows");
    svg_free(&p);
    const char plain[] = HEAD "><title>Gnuplot</title><desc>Produced by GNUPLOT 5.4 patchlevel 4 </desc></svg>";
    assert_int_equal(svg_read(plain, strlen(plain), "f1-", &p, &err), PAL_OK);
    assert_string_equal(p.title, "");
    assert_string_equal(p.about, "");
    svg_free(&p);
    char *text = cleaned(HEAD "/>", "\"><script>alert(1)</script>");
    assert_non_null(strstr(text, "aria-label=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\""));
    free(text);
}

/* Each stands for a way to make a browser run, load or draw without end. */
static const char *const hostile[] = {
    HEAD "\nonload=\"alert(1)\"/>",
    HEAD "><rect onmouseover='alert(1)'/></svg>",
    HEAD "><g ONCLICK='alert(1)'/></svg>",
    HEAD "><g on\xc5\xbf='x'/></svg>",
    HEAD "><animate onbegin='alert(1)' attributeName='x' dur='1s'/></svg>",
    HEAD "><animate attributeName='href' values='javascript:alert(1)'/></svg>",
    HEAD "><set attributeName='onmouseover' to='alert(1)'/></svg>",
    HEAD "><script>alert(1)</script></svg>",
    HEAD "><script xlink:href='x.js'/></svg>",
    HEAD "><s:script xmlns:s='http://www.w3.org/2000/svg'>alert(1)</s:script></svg>",
    HEAD "><h:script xmlns:h='http://www.w3.org/1999/xhtml'>alert(1)</h:script></svg>",
    HEAD "><script xmlns='http://www.w3.org/1999/xhtml'>alert(1)</script></svg>",
    HEAD "><foreignObject><body xmlns='http://www.w3.org/1999/xhtml' onload='alert(1)'/></foreignObject></svg>",
    HEAD "><iframe src='javascript:alert(1)'/></svg>",
    HEAD "><a xlink:href='javascript:alert(1)'><rect/></a></svg>",
    HEAD "><a href='&#106;avascript:alert(1)'><rect/></a></svg>",
    HEAD "><image href='http://example.org/x.png'/></svg>",
    HEAD "><image xlink:href='data:image/svg+xml,x'/></svg>",
    HEAD "><use href='data:image/svg+xml;base64,PHN2Zz4='/></svg>",
    HEAD "><use href='other.svg#a'/></svg>",
    HEAD "><use href='#'/></svg>",
    HEAD "><use href='#nowhere'/></svg>",
    HEAD "><style>rect{fill:url(http://example.org/x)}</style></svg>",
    HEAD "><style>@import 'http://example.org/x.css';</style></svg>",
    HEAD "><rect style='fill:url(http://example.org/x)'/></svg>",
    HEAD "><rect style='background:url(#x)'/></svg>",
    HEAD "><rect style='fill:\\75rl(http://example.org/x)'/></svg>",
    HEAD "><rect style='behavior:url(x.htc)'/></svg>",
    HEAD "><rect style='fill:expression(alert(1))'/></svg>",
    HEAD "><rect fill='url(http://example.org/x)'/></svg>",
    HEAD "><rect fill='URL(http://example.org/x)'/></svg>",
    HEAD "><rect fill='url( #x )'/></svg>",
    HEAD "><rect fill='url(\"#x\" http://example.org/)'/></svg>",
    HEAD "><rect fill='image-set(\"http://example.org/x\" 1x)'/></svg>",
    HEAD "><rect filter='url(x.svg#f)'/></svg>",
    HEAD "><feImage href='http://example.org/x'/></svg>",
    HEAD "><rect cursor='url(http://example.org/x), auto'/></svg>",
    HEAD "><handler type='application/ecmascript'>alert(1)</handler></svg>",
    HEAD "><embed src='x.swf'/></svg>",
    HEAD "><g xml:base='javascript:'/></svg><x/>",
    HEAD "><defs><g id='a\" onload=\"alert(1)'/></defs></svg>",
    HEAD "><defs><g id='a'/><g id='a'/></defs></svg>",
    "<!DOCTYPE svg [<!ENTITY x '<script>alert(1)</script>'>]>" HEAD ">&x;</svg>",
    "<!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" HEAD "><text>&x;</text></svg>",
    "<!DOCTYPE svg SYSTEM 'x.dtd'>" HEAD "><text>&x;</text></svg>",
    /* A picture that draws itself, and one that grows by powers. */
    HEAD "><g id='a'><use href='#a'/></g></svg>",
    HEAD "><defs><g id='a'><use href='#a'/></g></defs><use href='#a'/></svg>",
    HEAD "><defs><path id='a'/><g id='b'><use href='#a'/><use href='#a'/></g>"
         "<g id='c'><use href='#b'/><use href='#b'/></g></defs><use href='#c'/></svg>",
    /* No picture at all. */
    "",
    "words",
    HEAD ">",
    HEAD "></svg><script/>",
    HEAD ">words</svg>",
    "<svg width='9' height='9'><rect/></svg>",
    "<html xmlns='http://www.w3.org/1999/xhtml'/>",
    "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "<svg xmlns='http://www.w3.org/2000/svg' width='nan' height='9'/>",
    "<svg xmlns='http://www.w3.org/2000/svg' width='1e300' height='9'/>",
};

static void test_hostile(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        char *text = cleaned(hostile[i], "L");
        if (text) fail_msg("accepted: %s\nas: %s", hostile[i], text);
        assert_non_null(strstr(err.text, "line "));
    }
}

/* Names of namespaces and attributes of any length, elements of any depth, and files of any size are refused. */
static void test_sizes(void **state)
{
    (void)state;
    enum { SIZE = SVG_LIMIT + 1 };
    svg_picture p;
    char *text = malloc(SIZE + 1);
    assert_non_null(text);
    memset(text, ' ', SIZE);
    assert_int_equal(svg_read(text, SIZE, "f1-", &p, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "at most"));
    size_t size = (size_t)sprintf(text, HEAD ">");
    for (int i = 0; i < 1000; i++) size += (size_t)sprintf(text + size, "<g>");
    assert_int_equal(svg_read(text, size, "f1-", &p, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "deep"));
    size = (size_t)sprintf(text, HEAD "><g");
    for (int i = 0; i < 1000; i++) size += (size_t)sprintf(text + size, " data-a%d='1'", i);
    size += (size_t)sprintf(text + size, "/></svg>");
    assert_int_equal(svg_read(text, size, "f1-", &p, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "attributes"));
    size = (size_t)sprintf(text, HEAD "><");
    memset(text + size, 'g', 100000);
    strcpy(text + size + 100000, "/></svg>");
    assert_int_equal(svg_read(text, strlen(text), "f1-", &p, &err), PAL_DATA);
    /* A long text comes through whole. */
    size = (size_t)sprintf(text, HEAD "><text>");
    memset(text + size, 'x', 100000);
    strcpy(text + size + 100000, "</text></svg>");
    assert_int_equal(svg_read(text, strlen(text), "f1-", &p, &err), PAL_OK);
    assert_int_equal(p.size, 100000 + strlen("<text></text>"));
    svg_free(&p);
    /* A title is cut at a whole character. */
    size = (size_t)sprintf(text, HEAD "><title>");
    for (int i = 0; i < 300; i++) size += (size_t)sprintf(text + size, "\xe2\x82\xac");
    strcpy(text + size, "</title></svg>");
    assert_int_equal(svg_read(text, strlen(text), "f1-", &p, &err), PAL_OK);
    assert_int_equal(strlen(p.title), (SVG_TITLE - 1) / 3 * 3);
    svg_free(&p);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drawing),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests_name("svg", tests, NULL, NULL);
}

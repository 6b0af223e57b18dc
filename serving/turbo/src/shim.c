/* libjpeg's structures and its way of failing, behind two plain functions. */

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#ifndef LIBJPEG_TURBO_VERSION
#error "another libjpeg: its pixels are not those of Pillow"
#endif

/* As many as zune-jpeg allows; encoders write about ten. */
enum { SCANS_MAX = 100 };

enum { FINE, DAMAGED, UNSUPPORTED, TOO_LARGE, TRUNCATED };

typedef struct {
    struct jpeg_error_mgr base;
    jmp_buf out;
    char *message;
    int kind;
    int truncated;
} errors;

static void fail(j_common_ptr info) {
    errors *e = (errors *)info->err;
    (*info->err->format_message)(info, e->message);
    switch (info->err->msg_code) {
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
        e->kind = UNSUPPORTED;
        break;
    case JERR_IMAGE_TOO_BIG:
        e->kind = TOO_LARGE;
        break;
    default:
        e->kind = DAMAGED;
    }
    longjmp(e->out, 1);
}

/* A file that ends too early is only a warning to libjpeg, which invents the rest. */
static void warn(j_common_ptr info, int level) {
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) {
        ((errors *)info->err)->truncated = 1;
    }
}

/* Each scan walks over all of the image: a small file of thousands would keep a thread for minutes. */
static void count_scans(j_common_ptr info) {
    if (info->is_decompressor && ((j_decompress_ptr)info)->input_scan_number > SCANS_MAX) {
        errors *e = (errors *)info->err;
        snprintf(e->message, JMSG_LENGTH_MAX, "more than %d scans", SCANS_MAX);
        e->kind = DAMAGED;
        longjmp(e->out, 1);
    }
}

static void silent(j_common_ptr info) { (void)info; }

/* Reads the header. Gives width, height and channels of the pixels (1 grey, 3 RGB, 4 CMYK); with pixels, of
 * which there must be as many as a call without told, these too. message has JMSG_LENGTH_MAX bytes or more. */
int splitscale_turbo(const unsigned char *file, size_t bytes, unsigned size[3], unsigned char *pixels,
                     char *message) {
    struct jpeg_decompress_struct info;
    struct jpeg_progress_mgr progress;
    errors e;
    memset(&info, 0, sizeof info);
    memset(&progress, 0, sizeof progress);
    progress.progress_monitor = count_scans;
    info.err = jpeg_std_error(&e.base);
    e.base.error_exit = fail;
    e.base.emit_message = warn;
    e.base.output_message = silent;
    e.message = message;
    e.kind = FINE;
    e.truncated = 0;
    message[0] = 0;
    if (setjmp(e.out)) {
        jpeg_destroy_decompress(&info);
        return e.kind;
    }
    jpeg_create_decompress(&info);
    info.progress = &progress;
    jpeg_mem_src(&info, (unsigned char *)file, (unsigned long)bytes);
    jpeg_read_header(&info, TRUE);
    if (info.num_components == 1) {
        info.out_color_space = JCS_GRAYSCALE;
    } else if (info.num_components == 4) {
        info.out_color_space = JCS_CMYK;
    } else {
        info.out_color_space = JCS_RGB;
    }
    info.dct_method = JDCT_ISLOW;
    info.do_fancy_upsampling = TRUE;
    jpeg_calc_output_dimensions(&info);
    size[0] = info.output_width;
    size[1] = info.output_height;
    size[2] = (unsigned)info.out_color_components;
    if (pixels) {
        size_t row = (size_t)info.output_width * (size_t)info.out_color_components;
        jpeg_start_decompress(&info);
        while (info.output_scanline < info.output_height && !e.truncated) {
            JSAMPROW to = pixels + row * info.output_scanline;
            jpeg_read_scanlines(&info, &to, 1);
        }
        if (!e.truncated) {
            jpeg_finish_decompress(&info);
        }
    }
    if (e.truncated) {
        snprintf(message, JMSG_LENGTH_MAX, "the file ends before the image");
        e.kind = TRUNCATED;
    }
    jpeg_destroy_decompress(&info);
    return e.kind;
}

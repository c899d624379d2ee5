"""PDF files, under the module name that earlier releases had."""

from batchata.documents.pdf import create_pdf, extract_text_from_pdf, get_pdf_info, is_textual_pdf
from batchata.documents.pdf_tokens import estimate_pdf_tokens

__all__ = [
    "create_pdf",
    "estimate_pdf_tokens",
    "extract_text_from_pdf",
    "get_pdf_info",
    "is_textual_pdf",
]

"""`rspnet report`: one self-contained HTML file about a run; a module a kind of section, `page` joins them."""

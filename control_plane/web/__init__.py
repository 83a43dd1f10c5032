"""What both HTTP doors share: errors, query parameters, the frame of an answer."""
